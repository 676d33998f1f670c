"""What runs inside Redis to answer for movies: one page, the rows a filter leaves, one movie.

Each script answers ``gone`` for a generation that is not live and whole, else a word, the position
it shows, and what was asked for.
"""

from projections import whole
from projections.heads import LIVE
from projections.scripts import Script

# How long a kept result waits for its next page, how many are kept, and how many ids in all.
KEPT_S, KEPT_RESULTS, KEPT_IDS = 15, 64, 1_000_000

# Ties come newest first in every order. Ids grow with time, so within one key that is descending
# by id. Going down an index has that for free; going up, each run of equal keys (a bucket) is read
# from its upper end. Finding a bucket's ends costs O(log N), wherever the page is.
# KEYS of all scripts begin with ``Keys.listed``: head, rows, created, years, titles.
_PAGES = (
    whole.LISTS
    + f"""
local head = redis.call('HMGET', KEYS[1], 'state', 'position', 'rows')
if head[1] ~= '{LIVE}' or not lists_whole(head[3]) then return {{'gone'}} end

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

-- ``place`` is a page's number (0 is the last), or the key, NUL and id that the page comes after.
local function page(position, index, ordering, descending, place, size)
  local count = redis.call('ZCARD', index)
  local last = math.max(1, math.ceil(count / size))
  local key, id = string.match(place, '^(.*)%z(.*)$')
  local number, rank = tonumber(place) or 0, nil
  if key then
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
  if ordering == 'title' then
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
    _PAGES
    + """
if head[2] == ARGV[5] then return {'same', tonumber(head[2])} end
return page(head[2], KEYS[6], ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]))
""",
    shareable=True,
)

# KEYS: those of all. ARGV: id.
ONE = Script(
    _PAGES
    + """
local line = redis.call('HGET', KEYS[2], ARGV[1])
return {'movie', tonumber(head[2]), line and string.sub(line, json_at(line))}
""",
    shareable=True,
)

# KEYS: those of all, kept, prefix of the results. ARGV: the first four of LIST, then the
# position the scan started at ('' begins one), digest of filters and ordering, rows to look at in
# one call, title, genre, creator, search, first year, last year, the last of LIST.
#
# Hits go into a sorted set of the shape of the ordering's index, so that pages of it are paged the
# same way. A scan is joined, and its result used again, only by who starts at the same position:
# nobody is shown what is older than his question. Answers 'more' until the scan is through.
# The result's name is made here, since only here the position is known; its slot is that of KEYS.
FIND = Script(
    _PAGES
    + f"""
if head[2] == ARGV[14] then return {{'same', tonumber(head[2])}} end
local find, sub = string.find, string.sub
local ordering, size, budget = ARGV[1], tonumber(ARGV[4]), tonumber(ARGV[7])
local title, genre, creator, search = ARGV[8], ARGV[9], ARGV[10], ARGV[11]
local from, to = tonumber(ARGV[12]), tonumber(ARGV[13])
local named = title .. genre .. creator .. search ~= ''

local function passes(line)
  -- Where a text is found first tells whether it is in its field: no field is cut out for that.
  local at = find(line, title, 23, true)
  if not at then return false end
  local title_end = find(line, '\\0', 23, true)
  if at > title_end then return false end
  at = find(line, genre, title_end + 1, true)
  if not at then return false end
  local genre_end = find(line, '\\0', title_end + 1, true)
  if at > genre_end then return false end
  at = find(line, search, 23, true)
  -- A text that reaches over the end of the title is in none of them: it would hold a NUL.
  if not at or at > genre_end then return false end
  at = find(line, creator, genre_end + 1, true)
  return at and at <= find(line, '\\0', genre_end + 1, true)
end

local function add(hits, line)
  if named and not passes(line) then return end
  local year = tonumber(sub(line, 1, 4))
  if year < from or year > to then return end
  local at = json_at(line)
  local id, n = sub(line, at + 7, at + 42), #hits
  if ordering == 'title' then
    hits[n + 1], hits[n + 2] = '0', sub(line, 23, find(line, '\\0', 23, true)) .. id
  elseif ordering == 'year' then
    hits[n + 1], hits[n + 2] = year, id
  else
    hits[n + 1], hits[n + 2] = sub(line, 6, 21), id
  end
end

-- Lines of movies that may pass, and where to go on.
local function lines(cursor)
  if cursor == '0' then
    local all, near = redis.call('HLEN', KEYS[2]), redis.call('ZCOUNT', KEYS[4], from, to)
    if near == 0 then return 'done', {{}} end
    if near <= math.min(all, budget) / 4 then
      local ids = redis.call('ZRANGEBYSCORE', KEYS[4], from, to)
      return 'done', redis.call('HMGET', KEYS[2], unpack(ids))
    end
    if all <= budget then return 'done', redis.call('HVALS', KEYS[2]) end
  end
  -- Few at a time: the rows of a large hash lie all over the memory, and take longer each.
  local scanned = redis.call('HSCAN', KEYS[2], cursor, 'COUNT', math.ceil(budget / 4))
  local pairs, found = scanned[2], {{}}
  for i = 2, #pairs, 2 do found[i / 2] = pairs[i] end
  return scanned[1] == '0' and 'done' or scanned[1], found
end

local function make_room()
  local ids = 0
  for i, name in ipairs(redis.call('LRANGE', KEYS[6], 0, -1)) do
    ids = ids + redis.call('ZCARD', name)
    if i >= {KEPT_RESULTS} or ids > {KEPT_IDS} then redis.call('UNLINK', name, name .. ':scan') end
    if redis.call('EXISTS', name .. ':scan') == 0 then redis.call('LREM', KEYS[6], 1, name) end
  end
end

local start = ARGV[5]
local found = KEYS[7] .. ARGV[6] .. ':' .. start
local cursor = start ~= '' and redis.call('GET', found .. ':scan')
if not cursor then
  start = head[2]
  found = KEYS[7] .. ARGV[6] .. ':' .. start
  cursor = redis.call('GET', found .. ':scan')
end
if not cursor then
  make_room()
  redis.call('LPUSH', KEYS[6], found)
  cursor = '0'
end
if cursor ~= 'done' then
  local looked, hits = nil, {{}}
  cursor, looked = lines(cursor)
  for _, line in ipairs(looked) do add(hits, line) end
  for i = 1, #hits, 5000 do
    redis.call('ZADD', found, unpack(hits, i, math.min(i + 4999, #hits)))
  end
  redis.call('SET', found .. ':scan', cursor)
end
redis.call('EXPIRE', found .. ':scan', {KEPT_S})
redis.call('EXPIRE', found, {KEPT_S})
if cursor ~= 'done' then return {{'more', tonumber(start)}} end
return page(start, found, ordering, ARGV[2], ARGV[3], size)
""",
    shareable=True,
)
