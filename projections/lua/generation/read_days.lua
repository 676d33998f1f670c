-- Reads the counts of days together with the position.
-- KEYS: state, days.
-- Returns position and fields with their values in turn, none for a key of another type; {} if the
-- generation does not exist.
local number = require("projections.lua.number")
local state, days = KEYS[1], KEYS[2]

local position = number(redis.pcall("HGET", state, "position"))
if position < 0 then return {} end
local counts = redis.pcall("HGETALL", days)
return { position, counts.err and {} or counts }
