"""What runs inside Redis for sessions, each in one step.

Keys are the session and its successor's; see ``service/auth/sessions.py``.
"""

# Redis's own clock ends the grace: the successor's key is gone after it.
ROTATE = """
local account, presented, next_jti, answer, now_s = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local ttl_s, grace_s = ARGV[6], ARGV[7]
local held = redis.call('HMGET', KEYS[1], 'account', 'jti', 'previous')
if held[1] ~= account then return {0} end
if held[2] == presented then
  redis.call('HSET', KEYS[1], 'jti', next_jti, 'previous', presented, 'refreshed_at', now_s)
  redis.call('EXPIRE', KEYS[1], ttl_s)
  redis.call('SET', KEYS[2], answer, 'EX', grace_s)
  return {1, answer}
end
local successor = held[3] == presented and redis.call('GET', KEYS[2])
if successor then return {1, successor} end
redis.call('DEL', KEYS[1], KEYS[2])
return {2}
"""
ROTATED, REUSED = 1, 2

OPEN = """
redis.call('HSET', KEYS[1], 'account', ARGV[1], 'jti', ARGV[2], 'opened_at', ARGV[3])
redis.call('EXPIRE', KEYS[1], ARGV[4])
"""

HOLDS = """
local held = redis.call('HMGET', KEYS[1], 'account', 'jti', 'previous')
if held[1] ~= ARGV[1] then return 0 end
if held[2] == ARGV[2] then return 1 end
return held[3] == ARGV[2] and redis.call('EXISTS', KEYS[2]) or 0
"""
