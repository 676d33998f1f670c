"""What runs inside Redis to answer for the movies that a filter leaves: a page of them.

The rows are looked at piece by piece, so that others are served in between; what was found is kept
a while for the pages that follow.
"""

from projections.lua import Script
from queries.page_script import PAGES

# How long a kept result waits for its next page, how many are kept, and how many ids in all.
KEPT_S, KEPT_RESULTS, KEPT_IDS = 15, 64, 1_000_000

# KEYS: those of all, kept, prefix of the results. ARGV: the first four of LIST, then the
# position the scan started at ('' begins one), digest of filters and ordering, rows to look at in
# one call, title, genre, creator, search, first year, last year, the last of LIST,
# and the orderings, with commas between.
#
# Hits go into a sorted set of the shape of the ordering's index, so that pages of it are paged the
# same way; where no index has the order, into one of sort keys (``queries.orderings``). A scan is
# joined, and its result used again, only by who starts at the same position: nobody is shown what
# is older than his question. Answers 'more' until the scan is through.
# The result's name is made here, since only here the position is known; its slot is that of KEYS.
_MATCH = (
    PAGES
    + """
if head[2] == ARGV[14] then return {'same', tonumber(head[2])} end
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

local complement = {}
for byte = 0, 255 do complement[string.char(byte)] = string.char(255 - byte) end

local orders = {}
for sign, field in string.gmatch(ARGV[15], '(-?)([%a_]+)') do
  orders[#orders + 1] = {field, sign == '-'}
end

-- The same as ``sort_key`` makes of a place.
local function sort_key(line, id)
  local title_end = find(line, '\0', 23, true)
  local genre_end = find(line, '\0', title_end + 1, true)
  local key = ''
  for _, order in ipairs(orders) do
    local field, value = order[1], id
    if field == 'year' then value = sub(line, 1, 4)
    elseif field == 'created_at' then value = sub(line, 6, 21)
    elseif field == 'title' then value = sub(line, 23, title_end - 1)
    elseif field == 'genre' then value = sub(line, title_end + 1, genre_end - 1)
    elseif field == 'creator' then
      value = sub(line, genre_end + 1, find(line, '\0', genre_end + 1, true) - 1)
    end
    value = value .. '\0'
    key = key .. (order[2] and value or string.gsub(value, '.', complement))
  end
  return key .. id
end

local function add(hits, line)
  if named and not passes(line) then return end
  local year = tonumber(sub(line, 1, 4))
  if year < from or year > to then return end
  local at = json_at(line)
  local id, n = sub(line, at + 7, at + 42), #hits
  if ordering == 'key' then
    hits[n + 1], hits[n + 2] = '0', sort_key(line, id)
  elseif ordering == 'title' then
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
    if near == 0 then return 'done', {} end
    if near <= math.min(all, budget) / 4 then
      local ids = redis.call('ZRANGEBYSCORE', KEYS[4], from, to)
      return 'done', redis.call('HMGET', KEYS[2], unpack(ids))
    end
    if all <= budget then return 'done', redis.call('HVALS', KEYS[2]) end
  end
  -- Few at a time: the rows of a large hash lie all over the memory, and take longer each.
  local scanned = redis.call('HSCAN', KEYS[2], cursor, 'COUNT', math.ceil(budget / 4))
  local pairs, found = scanned[2], {}
  for i = 2, #pairs, 2 do found[i / 2] = pairs[i] end
  return scanned[1] == '0' and 'done' or scanned[1], found
end

"""
)
FIND = Script(
    _MATCH
    + f"""
local function make_room()
  local ids, names = 0, redis.pcall('LRANGE', KEYS[6], 0, -1)
  if names.err then redis.call('UNLINK', KEYS[6]) end
  for i, name in ipairs(names) do
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

# The same without a write, for a Redis that refuses them. The position of ARGV is a cursor, '' at
# the start. Answers 'piece', the next cursor ('done' at the end), and the sort keys of hits.
PEEK = Script(
    _MATCH
    + """
local cursor, looked = lines(ARGV[5] == '' and '0' or ARGV[5])
local hits, reply = {}, {'piece', tonumber(head[2]), cursor}
for _, line in ipairs(looked) do add(hits, line) end
for i = 2, #hits, 2 do reply[i / 2 + 3] = hits[i] end
return reply
"""
)

# KEYS: those of all. ARGV: ids. Answers 'rows' and the JSON of each that is there.
ROWS = Script(
    PAGES
    + """
local reply = {'rows', tonumber(head[2])}
if #ARGV == 0 then return reply end
for _, line in ipairs(redis.call('HMGET', KEYS[2], unpack(ARGV))) do
  if line then reply[#reply + 1] = string.sub(line, json_at(line)) end
end
return reply
"""
)
