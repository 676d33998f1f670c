-- Deletes every session, on a server that serves no client yet.
local KEYS_AT_ONCE = 1000

local cursor = "0"
repeat
  local next_cursor, keys =
    unpack(redis.call("SCAN", cursor, "MATCH", "auth:*", "COUNT", KEYS_AT_ONCE))
  if #keys > 0 then redis.call("UNLINK", unpack(keys)) end
  cursor = next_cursor
until cursor == "0"
return redis.status_reply("OK")
