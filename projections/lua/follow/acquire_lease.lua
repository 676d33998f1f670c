-- Acquires or renews a lease.
-- KEYS: the lease.
-- ARGV: holder; a holder that has died ('' none); milliseconds.
-- Returns the holder afterwards.
local lease = KEYS[1]
local holder, dead_holder, for_ms = ARGV[1], ARGV[2], ARGV[3]

local current = redis.call("GET", lease)
if not current or current == holder or current == dead_holder then
  redis.call("SET", lease, holder, "PX", for_ms)
  return holder
end
return current
