-- Sets a field of the state of a generation that exists.
-- KEYS: the state.
-- ARGV: field, value.
local state = KEYS[1]
local field, value = ARGV[1], ARGV[2]

return redis.call("EXISTS", state) == 1 and redis.call("HSET", state, field, value)
