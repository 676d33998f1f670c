-- Ends a pause, unless it has ended and another one has begun.
-- KEYS: the state.
-- ARGV: the end of the pause, as pause.lua returned it.
local state = KEYS[1]
local until_ms = ARGV[1]

return redis.pcall("HGET", state, "hold") == until_ms and redis.call("HDEL", state, "hold")
