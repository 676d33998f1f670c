-- The layout of an encoded row, as projections/movie_rows.py writes it: year (4 digits) NUL created
-- (16 digits) NUL folded title NUL folded genre NUL folded creator NUL JSON. Places count from 1.
local TITLE_FROM, ID_LENGTH = 23, 36
local BEFORE_ID = '\0{"id":"'

local function json(line)
  local before_json = string.find(line, BEFORE_ID, TITLE_FROM, true)
  return string.sub(line, before_json + 1)
end

local function id(line)
  local _, before_id = string.find(line, BEFORE_ID, TITLE_FROM, true)
  return string.sub(line, before_id + 1, before_id + ID_LENGTH)
end

-- Appends the JSON of each movie that exists to a reply, in the order of the ids.
local function append_json(reply, rows, ids)
  if #ids == 0 then return reply end
  for _, line in ipairs(redis.call("HMGET", rows, unpack(ids))) do
    if line then reply[#reply + 1] = json(line) end
  end
  return reply
end

return {
  YEAR_FROM = 1, YEAR_TO = 4, CREATED_FROM = 6, CREATED_TO = 21, TITLE_FROM = TITLE_FROM,
  ID_LENGTH = ID_LENGTH, json = json, id = id, append_json = append_json,
}
