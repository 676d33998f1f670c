-- Notes by Redis's clock that a point-in-time list is used.
-- KEYS: the sorted set of positions by last use.
-- ARGV: position.
local lists = KEYS[1]
local position = ARGV[1]

local seconds, microseconds = unpack(redis.call("TIME"))
return redis.call("ZADD", lists, seconds .. "." .. string.format("%06d", microseconds), position)
