-- The layout of an encoded row: its packed record (projections/records.py), then JSON.

local function record(line)
  return string.sub(line, 3, 2 + struct.unpack("<I2", line))
end

-- Rows of format 3 begin with texts that end with NUL. They are shown until a generation of the
-- present format is live.
local function json(line)
  local from = 3 + struct.unpack("<I2", line)
  if string.sub(line, from, from) ~= "{" then
    from = 1 + string.find(line, '\0{"id":"', 1, true)
  end
  return string.sub(line, from)
end

-- Appends the JSON of each movie that exists to a reply, in the order of the ids.
local function append_json(reply, rows, ids)
  if #ids == 0 then return reply end
  for _, line in ipairs(redis.call("HMGET", rows, unpack(ids))) do
    if line then reply[#reply + 1] = json(line) end
  end
  return reply
end

return { record = record, json = json, append_json = append_json }
