-- Tells whether a refresh token could be exchanged now.
-- KEYS: the session, its successor.
-- ARGV: account, id of the token.
-- Returns 1 or 0.
local session, successor = KEYS[1], KEYS[2]
local account, jti = ARGV[1], ARGV[2]

local holder, current, previous =
  unpack(redis.call("HMGET", session, "account", "jti", "previous"))
if holder ~= account then return 0 end
if current == jti then return 1 end
return previous == jti and redis.call("EXISTS", successor) or 0
