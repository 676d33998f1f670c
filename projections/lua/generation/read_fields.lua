-- Reads fields of a hash together with the position.
-- KEYS: the state, the hash.
-- ARGV: the fields.
-- Returns position and values, no values for a key of another type; {} if the generation does not
-- exist.
local number = require("projections.lua.number")
local state, key = KEYS[1], KEYS[2]

local position = number(redis.pcall("HGET", state, "position"))
if position < 0 then return {} end
local values = redis.pcall("HMGET", key, unpack(ARGV))
return { position, values.err and {} or values }
