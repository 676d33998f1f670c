-- Opens a session.
-- KEYS: the session.
-- ARGV: account, id of its first refresh token, seconds since the epoch, seconds that it lives.
local session = KEYS[1]
local account, jti, now_s, ttl_s = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

redis.call("HSET", session, "account", account, "jti", jti, "opened_at", now_s)
redis.call("EXPIRE", session, ttl_s)
