"""Whether a generation is whole, as far as counting tells: a lost key is noticed at once.

The head says how many there are of everything; how many are there costs Redis no more than a look.
"""

LISTS = """
local function lists_whole(rows)
  rows = tonumber(rows or -1)
  return rows == redis.call('HLEN', KEYS[2]) and rows == redis.call('ZCARD', KEYS[3])
    and rows == redis.call('ZCARD', KEYS[4]) and rows == redis.call('ZCARD', KEYS[5])
end
"""
"""Lua: whether the lists are, given the ``rows`` of the head. ``KEYS`` begin with ``listed``."""

ALL = (
    LISTS
    + """
local counted = redis.call('HMGET', KEYS[1], 'rows', 'gone', 'users', 'parked')
local function all_whole()
  for i = 2, 4 do
    if tonumber(counted[i] or -1) ~= redis.call('HLEN', KEYS[i + 4]) then return false end
  end
  return lists_whole(counted[1])
end

local function count()
  redis.call('HSET', KEYS[1], 'rows', redis.call('HLEN', KEYS[2]),
    'gone', redis.call('HLEN', KEYS[6]), 'users', redis.call('HLEN', KEYS[7]),
    'parked', redis.call('HLEN', KEYS[8]))
end
"""
)
"""Lua: whether all of it is, and the counting after a change. ``KEYS`` are ``lasting``."""
