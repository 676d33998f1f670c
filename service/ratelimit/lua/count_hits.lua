-- Counts hits in a window, which begins with its first hit and expires.
-- KEYS: the counter.
-- ARGV: hits, milliseconds that the window lasts.
-- Returns the hits in the window, and the milliseconds until it ends.
local counter = KEYS[1]
local hits, window_ms = tonumber(ARGV[1]), ARGV[2]

local count = redis.call("INCRBY", counter, hits)
if count == hits then redis.call("PEXPIRE", counter, window_ms) end
return { count, redis.call("PTTL", counter) }
