-- Returns a page of the movies that pass a filter. The rows are looked at piece by piece, so that
-- Redis serves others in between; the hits are cached for the pages that follow.
--
-- Hits go into a sorted set of the shape of the ordering's index, so that pages.lua reads it like
-- an index; if no index has the ordering, into one of sort keys. Only searches that begin at the
-- same position share a scan and its result: no client gets an older list than it asked for. The
-- name of a result contains the position, which is known only here; the result lies in the slot of
-- KEYS.
-- KEYS: `Keys.listed`, names of cached results (newest first), prefix of cached results.
-- ARGV: 1 if descending, seek (see pages.lua), page size, position whose page the client has
-- ('' none), position that the scan began at ('' begins one), digest of filters and ordering, then
-- those of search.lua.
-- Returns {'more', position that the scan began at} until the scan has ended, then {'page', ...}
-- as pages.lua does; {'same', position} if the client has the page; {'gone'} if the generation must
-- not be shown.
local page = require("queries.lua.pages")
local search = require("queries.lua.search")
local state = require("projections.lua.state")
local keys, results, prefix = state.keys(KEYS), KEYS[6], KEYS[7]
local descending, seek, size, known_position, start, digest =
  ARGV[1] == "1", ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5], ARGV[6]
local wanted = search.arguments(ARGV, 7)
local VALUES_AT_ONCE = 5000 -- Lua unpacks at most some 8,000

local function make_room()
  local ids, names = 0, redis.pcall("LRANGE", results, 0, -1)
  if names.err then redis.call("UNLINK", results) end
  for i, name in ipairs(names) do
    ids = ids + redis.call("ZCARD", name)
    if i >= constants.MAX_RESULTS or ids > constants.MAX_RESULT_IDS then
      redis.call("UNLINK", name, name .. ":scan")
    end
    if redis.call("EXISTS", name .. ":scan") == 0 then redis.call("LREM", results, 1, name) end
  end
end

-- The name of the result of a scan, and its cursor; false for a scan that does not exist.
local function scan_from(position)
  local result = prefix .. digest .. ":" .. position
  return result, redis.call("GET", result .. ":scan")
end

local position = state.shown(keys)
if not position then return { "gone" } end
if position == known_position then return { "same", tonumber(position) } end
local result, cursor
if start ~= "" then result, cursor = scan_from(start) end
if not cursor then
  start = position
  result, cursor = scan_from(start)
end
if not cursor then
  make_room()
  redis.call("LPUSH", results, result)
  cursor = "0"
end
if cursor ~= "done" then
  local hits
  cursor, hits = search.next(keys, wanted, cursor)
  for from = 1, #hits, VALUES_AT_ONCE do
    redis.call("ZADD", result, unpack(hits, from, math.min(from + VALUES_AT_ONCE - 1, #hits)))
  end
  redis.call("SET", result .. ":scan", cursor)
end
redis.call("EXPIRE", result .. ":scan", constants.RESULT_TTL_S)
redis.call("EXPIRE", result, constants.RESULT_TTL_S)
if cursor ~= "done" then return { "more", tonumber(start) } end
return page(keys.rows, start, result, wanted.ordering, descending, seek, size)
