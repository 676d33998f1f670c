-- Opens a session.
-- KEYS: the session.
-- ARGV: account, id of its first refresh token, seconds since the epoch, seconds that it lives, the
-- device that opened it ('' if unknown).
local session = KEYS[1]
local account, jti, now_s, ttl_s, device = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]

redis.call("HSET", session, "account", account, "jti", jti, "opened_at", now_s, "device", device)
redis.call("EXPIRE", session, ttl_s)
