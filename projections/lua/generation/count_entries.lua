-- Counts the entries of each key, together with the position.
-- KEYS: the state, then hashes, then sorted sets.
-- ARGV: how many of the keys are hashes.
-- Returns position, number of applied events, then a count for each key, 0 for one of another type;
-- {} if the generation does not exist.
local number = require("projections.lua.number")
local state, first_key = KEYS[1], 2
local last_hash = 1 + tonumber(ARGV[1])

local position, events = unpack(redis.pcall("HMGET", state, "position", "events"))
if number(position) < 0 then return {} end
local counts = { number(position), math.max(0, number(events)) }
for i = first_key, #KEYS do
  local size = redis.pcall(i <= last_hash and "HLEN" or "ZCARD", KEYS[i])
  counts[#counts + 1] = type(size) == "number" and size or 0
end
return counts
