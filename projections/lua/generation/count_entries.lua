-- Counts the entries of each key, together with the position.
-- KEYS: the state, then hashes, then sorted sets.
-- ARGV: how many of the keys are hashes.
-- Returns position, number of applied events, then a count for each key, 0 for one of another type;
-- {} if the generation does not exist.
local number = require("projections.lua.number")
local state, counted = KEYS[1], { unpack(KEYS, 2) }
local hashes = tonumber(ARGV[1])

local position, events = unpack(redis.pcall("HMGET", state, "position", "events"))
if number(position) < 0 then return {} end
local counts = { number(position), math.max(0, number(events)) }
for i, key in ipairs(counted) do
  local size = redis.pcall(i <= hashes and "HLEN" or "ZCARD", key)
  counts[#counts + 1] = type(size) == "number" and size or 0
end
return counts
