-- Reads fields of a hash, or scores of members of a sorted set, together with the position.
-- KEYS: the state, the key.
-- ARGV: HMGET or ZMSCORE, then fields or members.
-- Returns position and values, no values for a key of another type; {} if the generation does not
-- exist.
local number = require("projections.lua.number")
local state, key = KEYS[1], KEYS[2]
local command, first_field = ARGV[1], 2

local position = number(redis.pcall("HGET", state, "position"))
if position < 0 then return {} end
local values = redis.pcall(command, key, unpack(ARGV, first_field))
return { position, values.err and {} or values }
