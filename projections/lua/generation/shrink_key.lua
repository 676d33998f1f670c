-- Removes about `count` entries from a key of a dropped generation.
-- KEYS: the key, the state of its generation.
-- ARGV: cursor ('0' at first), count.
-- Returns the next cursor; '0' once the key is gone, or if the generation has a state: then it was
-- created anew, and nothing of it may be removed.
local key, state = KEYS[1], KEYS[2]
local cursor, count = ARGV[1], tonumber(ARGV[2])

if redis.call("EXISTS", state) == 1 then return "0" end
local kind = redis.call("TYPE", key)["ok"]
if kind == "zset" then -- of an earlier release
  if redis.call("ZREMRANGEBYRANK", key, 0, count - 1) == count then return "1" end
elseif kind == "hash" then
  local next_cursor, entries = unpack(redis.call("HSCAN", key, cursor, "COUNT", count))
  if next_cursor ~= "0" then
    local fields = {}
    for i = 1, #entries, 2 do fields[#fields + 1] = entries[i] end
    if #fields > 0 then redis.call("HDEL", key, unpack(fields)) end
    return next_cursor
  end
end
redis.call("UNLINK", key)
return "0"
