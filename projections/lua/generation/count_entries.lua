-- Counts the fields of each hash, together with the position.
-- KEYS: the state, the hashes.
-- Returns position, number of applied events, then a count for each hash, 0 for a key of another
-- type; {} if the generation does not exist.
local number = require("projections.lua.number")
local state, counted = KEYS[1], { unpack(KEYS, 2) }

local position, events = unpack(redis.pcall("HMGET", state, "position", "events"))
if number(position) < 0 then return {} end
local counts = { number(position), math.max(0, number(events)) }
for _, key in ipairs(counted) do
  local size = redis.pcall("HLEN", key)
  counts[#counts + 1] = type(size) == "number" and size or 0
end
return counts
