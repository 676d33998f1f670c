"""What runs inside Redis to answer for movies: one page of all of them, or one movie.

Each script answers ``gone`` for a generation that is not live and whole, else a word, the position
it shows, and what was asked for.
"""

from projections.generation import integrity
from projections.generation.state import LIVE
from projections.lua import Script

# Ties come newest first in every order. Ids grow with time, so within one key that is descending
# by id. Going down an index has that for free; going up, each run of equal keys (a bucket) is read
# from its upper end. Finding a bucket's ends costs O(log N), wherever the page is.
# Scripts begin with this, and their KEYS with ``Keys.listed``: head, rows, created, years, titles.
PAGES = (
    integrity.LISTS
    + f"""
local head = redis.pcall('HMGET', KEYS[1], 'state', 'position', 'rows')
if head[1] ~= '{LIVE}' or number(head[2]) < 0 or not lists_whole(head[3]) then return {{'gone'}} end

local function json_at(line)
  local _, quote = string.find(line, '\\0{{"id":"', 1, true)
  return quote - 6
end

local function bucket(index, ordering, rank)
  if ordering == 'title' then
    local member = redis.call('ZRANGE', index, rank, rank)[1]
    local title = string.sub(member, 1, -38)
    return redis.call('ZLEXCOUNT', index, '-', '(' .. title .. '\\0'),
      redis.call('ZLEXCOUNT', index, '[' .. title .. '\\0', '(' .. title .. '\\1')
  end
  local score = redis.call('ZRANGE', index, rank, rank, 'WITHSCORES')[2]
  return redis.call('ZCOUNT', index, '-inf', '(' .. score),
    redis.call('ZCOUNT', index, score, score)
end

local function upwards(index, ordering, rank, stop, count)
  -- One more on both sides shows whether a bucket reaches out of what was read.
  local low, high = math.max(rank - 1, 0), math.min(stop, count - 1)
  local read, key
  if ordering == 'title' then
    read = redis.call('ZRANGE', index, low, high)
    key = function(r) return string.sub(read[r - low + 1], 1, -38) end
  else
    local scored = redis.call('ZRANGE', index, low, high, 'WITHSCORES')
    read = {{}}
    for i = 1, #scored, 2 do read[(i + 1) / 2] = scored[i] end
    key = function(r) return scored[2 * (r - low) + 2] end
  end
  local listed = {{}}
  while rank < stop do
    local this, upper = key(rank), rank
    while upper < high and key(upper + 1) == this do upper = upper + 1 end
    if upper == stop or (rank > low and key(rank - 1) == this) then
      local before, equal = bucket(index, ordering, rank)
      local first = before + before + equal - 1 - rank
      local run = redis.call('ZRANGE', index, math.max(before, first - (stop - rank) + 1), first)
      for i = #run, 1, -1 do listed[#listed + 1] = run[i] end
      rank = rank + #run
    else
      for r = upper, rank, -1 do listed[#listed + 1] = read[r - low + 1] end
      rank = upper + 1
    end
  end
  return listed
end

-- How many members come before a place, which need not be a member (any more).
local function below(index, ordering, key, id)
  if ordering == 'title' then
    local less = redis.call('ZLEXCOUNT', index, '-', '(' .. key .. '\\0' .. id)
    local before = redis.call('ZLEXCOUNT', index, '-', '(' .. key .. '\\0')
    return less, before, redis.call('ZLEXCOUNT', index, '[' .. key .. '\\0', '(' .. key .. '\\1')
  end
  local before = redis.call('ZCOUNT', index, '-inf', '(' .. key)
  local equal = redis.call('ZCOUNT', index, key, key)
  local low, high = before, before + equal
  while low < high do
    local middle = math.floor((low + high) / 2)
    if redis.call('ZRANGE', index, middle, middle)[1] < id then low = middle + 1
    else high = middle end
  end
  return low, before, equal
end

-- ``place`` is a page's number (0 is the last), or the key, NUL and id that the page comes after;
-- where rows are ordered by their sort keys (``queries.orderings``), that sort key.
local function page(position, index, ordering, descending, place, size)
  local count = redis.call('ZCARD', index)
  local last = math.max(1, math.ceil(count / size))
  local number, rank = tonumber(place) or 0, nil
  local key, id = string.match(place, '^(.*)%z(.*)$')
  if ordering == 'key' and #place > 36 then
    rank = redis.call('ZLEXCOUNT', index, '[' .. place, '+')
    last = rank + size < count and 1 or 0
  elseif key then
    local less, before, equal = below(index, ordering, key, id)
    rank = descending == '1' and count - less or before + before + equal - less
    last = rank + size < count and 1 or 0
  else
    if number == 0 then number = last end
    rank = (number - 1) * size
  end
  local reply = {{'page', tonumber(position), count, number, last}}
  if rank >= count then return reply end
  local ids
  if descending == '1' then
    ids = redis.call('ZREVRANGE', index, rank, rank + size - 1)
  else
    ids = upwards(index, ordering, rank, math.min(rank + size, count), count)
  end
  if ordering == 'title' or ordering == 'key' then
    for i, member in ipairs(ids) do ids[i] = string.sub(member, -36) end
  end
  for _, line in ipairs(redis.call('HMGET', KEYS[2], unpack(ids))) do
    if line then reply[#reply + 1] = string.sub(line, json_at(line)) end
  end
  return reply
end
"""
)

# KEYS: those of all, index. ARGV: ordering, descending, place, size, and the position whose page
# the asker has already ('' for none): answered with 'same' where nothing has changed since.
LIST = Script(
    PAGES
    + """
if head[2] == ARGV[5] then return {'same', tonumber(head[2])} end
return page(head[2], KEYS[6], ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]))
""",
    shareable=True,
)

# KEYS: those of all. ARGV: id.
ONE = Script(
    PAGES
    + """
local line = redis.call('HGET', KEYS[2], ARGV[1])
return {'movie', tonumber(head[2]), line and string.sub(line, json_at(line))}
""",
    shareable=True,
)
