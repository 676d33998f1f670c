-- Exchanges the refresh token of a session for the next one.
-- KEYS: the session, its successor: the answer given last, for the grace period by Redis's clock.
-- ARGV: account, ids of the presented and the next token, the answer to keep, seconds since the
-- epoch, seconds that the session and the grace period last.
-- Returns {ROTATED, answer}, with the answer given last if the previous token comes again in the
-- grace period; {REUSED} for any other token of the session, which ends; {UNKNOWN} if the account
-- has no such session.
local session, successor = KEYS[1], KEYS[2]
local account, presented, next_jti, answer = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local now_s, ttl_s, grace_s = ARGV[5], ARGV[6], ARGV[7]

local holder, current, previous =
  unpack(redis.call("HMGET", session, "account", "jti", "previous"))
if holder ~= account then return { constants.UNKNOWN } end
if current == presented then
  redis.call(
    "HSET", session, "jti", next_jti, "previous", presented, "refreshed_at", now_s
  )
  redis.call("EXPIRE", session, ttl_s)
  redis.call("SET", successor, answer, "EX", grace_s)
  return { constants.ROTATED, answer }
end
local last_answer = previous == presented and redis.call("GET", successor)
if last_answer then return { constants.ROTATED, last_answer } end
redis.call("DEL", session, successor)
return { constants.REUSED }
