-- A search: the rows are scanned piece by piece; the hits are those that pass its filters.
--
-- A script that searches takes these ARGV, in this order: ordering, as pages.lua takes it; the
-- orderings of sort keys, with commas between; folded texts that title, genre, creator, and either
-- title or genre contain; first year; last year; the number of rows to look at.
local row = require("projections.lua.row")
local find, sub = string.find, string.sub
local TITLE_FROM = row.TITLE_FROM
-- A piece of a scan is a share of the rows to look at: the rows of a large hash are scattered over
-- the memory, and each takes longer.
local SCANNED_SHARE = 4

local function arguments(args, first)
  return {
    ordering = args[first],
    orderings = args[first + 1],
    title = args[first + 2],
    genre = args[first + 3],
    creator = args[first + 4],
    text = args[first + 5],
    first_year = tonumber(args[first + 6]),
    last_year = tonumber(args[first + 7]),
    budget = tonumber(args[first + 8]),
  }
end

-- A function that tells whether the texts of a row pass; nil if every row does.
-- It looks where a text is found first, so that no field need be cut out.
local function text_filter(wanted)
  local title, genre, creator, text = wanted.title, wanted.genre, wanted.creator, wanted.text
  if title .. genre .. creator .. text == "" then return nil end
  return function(line)
    local at = find(line, title, TITLE_FROM, true)
    if not at then return false end
    local title_end = find(line, "\0", TITLE_FROM, true)
    if at > title_end then return false end
    at = find(line, genre, title_end + 1, true)
    if not at then return false end
    local genre_end = find(line, "\0", title_end + 1, true)
    if at > genre_end then return false end
    at = find(line, text, TITLE_FROM, true)
    -- A text that reaches over the end of the title passes nothing: it would contain a NUL.
    if not at or at > genre_end then return false end
    at = find(line, creator, genre_end + 1, true)
    return at and at <= find(line, "\0", genre_end + 1, true)
  end
end

local function field_of(line, id, field, title_end, genre_end)
  if field == "year" then return sub(line, row.YEAR_FROM, row.YEAR_TO) end
  if field == "created_at" then return sub(line, row.CREATED_FROM, row.CREATED_TO) end
  if field == "title" then return sub(line, TITLE_FROM, title_end - 1) end
  if field == "genre" then return sub(line, title_end + 1, genre_end - 1) end
  if field == "creator" then
    return sub(line, genre_end + 1, find(line, "\0", genre_end + 1, true) - 1)
  end
  return id
end

-- A function that returns the sort key of a row, the same as `sort_key` in queries/orderings.py.
local function sort_keys(orderings)
  local complement, orders = {}, {}
  for byte = 0, 255 do complement[string.char(byte)] = string.char(255 - byte) end
  for sign, field in string.gmatch(orderings, "(-?)([%a_]+)") do
    orders[#orders + 1] = { field = field, descending = sign == "-" }
  end
  return function(line, id)
    local title_end = find(line, "\0", TITLE_FROM, true)
    local genre_end = find(line, "\0", title_end + 1, true)
    local key = ""
    for _, order in ipairs(orders) do
      local value = field_of(line, id, order.field, title_end, genre_end) .. "\0"
      key = key .. (order.descending and value or string.gsub(value, ".", complement))
    end
    return key .. id
  end
end

-- A function that returns the score and member of a row in an index of the ordering.
local function entry_of(wanted)
  if wanted.ordering == "key" then
    local sort_key = sort_keys(wanted.orderings)
    return function(line, id) return "0", sort_key(line, id) end
  elseif wanted.ordering == "title" then
    return function(line, id)
      return "0", sub(line, TITLE_FROM, find(line, "\0", TITLE_FROM, true)) .. id
    end
  elseif wanted.ordering == "year" then
    return function(line, id) return sub(line, row.YEAR_FROM, row.YEAR_TO), id end
  end
  return function(line, id) return sub(line, row.CREATED_FROM, row.CREATED_TO), id end
end

-- The next cursor ('done' at the end) and the rows that may pass, from a cursor on ('0' at first).
local function piece(keys, wanted, cursor)
  local rows, budget = keys.rows, wanted.budget
  if cursor == "0" then
    local first_year, last_year = wanted.first_year, wanted.last_year
    local all = redis.call("HLEN", rows)
    local near = redis.call("ZCOUNT", keys.years, first_year, last_year)
    if near == 0 then return "done", {} end
    if near <= math.min(all, budget) / SCANNED_SHARE then
      local ids = redis.call("ZRANGEBYSCORE", keys.years, first_year, last_year)
      return "done", redis.call("HMGET", rows, unpack(ids))
    end
    if all <= budget then return "done", redis.call("HVALS", rows) end
  end
  local count = math.ceil(budget / SCANNED_SHARE)
  local next_cursor, scanned = unpack(redis.call("HSCAN", rows, cursor, "COUNT", count))
  local lines = {}
  for i = 2, #scanned, 2 do lines[i / 2] = scanned[i] end
  return next_cursor == "0" and "done" or next_cursor, lines
end

-- Returns the next cursor and the hits of a piece: score, member, score, member...
local function next_hits(keys, wanted, cursor)
  local next_cursor, lines = piece(keys, wanted, cursor)
  local passes, entry, hits = text_filter(wanted), entry_of(wanted), {}
  local first_year, last_year = wanted.first_year, wanted.last_year
  for _, line in ipairs(lines) do
    if not passes or passes(line) then
      local year = tonumber(sub(line, row.YEAR_FROM, row.YEAR_TO))
      if year >= first_year and year <= last_year then
        local n = #hits
        hits[n + 1], hits[n + 2] = entry(line, row.id(line))
      end
    end
  end
  return next_cursor, hits
end

return { arguments = arguments, next = next_hits }
