-- Deletes a key if it holds a value: a lease is released only by its holder.
-- KEYS: the key.
-- ARGV: the value.
-- Returns the number of keys deleted.
local key = KEYS[1]
local value = ARGV[1]

if redis.pcall("GET", key) == value then return redis.call("DEL", key) end
return 0
