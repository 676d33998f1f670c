-- Pages of an index: a sorted set of ids by score, or of texts that end with the id.
--
-- Ties come newest first in every ordering. Ids grow with time, so within one key that is
-- descending by id. Reading an index downwards yields that order. Reading upwards, each run of
-- equal keys (a bucket) is read from its upper end. Finding the ends of a bucket costs O(log N),
-- wherever the page is.
local row = require("projections.lua.row")
local TITLE_TO = -(row.ID_LENGTH + 2) -- in a member of the index of titles: title, NUL, id

-- How many members precede a bucket, and how many it has.
local function bucket_of_title(index, title)
  return redis.call("ZLEXCOUNT", index, "-", "(" .. title .. "\0"),
    redis.call("ZLEXCOUNT", index, "[" .. title .. "\0", "(" .. title .. "\1")
end

local function bucket_of_score(index, score)
  return redis.call("ZCOUNT", index, "-inf", "(" .. score),
    redis.call("ZCOUNT", index, score, score)
end

local function bucket_at(index, ordering, rank)
  if ordering == "title" then
    local member = redis.call("ZRANGE", index, rank, rank)[1]
    return bucket_of_title(index, string.sub(member, 1, TITLE_TO))
  end
  return bucket_of_score(index, redis.call("ZRANGE", index, rank, rank, "WITHSCORES")[2])
end

-- The members from `rank` on, before `stop`, upwards.
local function upwards(index, ordering, rank, stop, count)
  -- One more on both sides shows whether a bucket reaches beyond what was read.
  local low, high = math.max(rank - 1, 0), math.min(stop, count - 1)
  local read, key_at
  if ordering == "title" then
    read = redis.call("ZRANGE", index, low, high)
    key_at = function(at) return string.sub(read[at - low + 1], 1, TITLE_TO) end
  else
    local scored = redis.call("ZRANGE", index, low, high, "WITHSCORES")
    read = {}
    for i = 1, #scored, 2 do read[(i + 1) / 2] = scored[i] end
    key_at = function(at) return scored[2 * (at - low) + 2] end
  end
  local listed = {}
  while rank < stop do
    local key, upper = key_at(rank), rank
    while upper < high and key_at(upper + 1) == key do upper = upper + 1 end
    if upper == stop or (rank > low and key_at(rank - 1) == key) then
      local before, equal = bucket_at(index, ordering, rank)
      local first = before + before + equal - 1 - rank
      local from = math.max(before, first - (stop - rank) + 1)
      local run = redis.call("ZRANGE", index, from, first)
      for i = #run, 1, -1 do listed[#listed + 1] = run[i] end
      rank = rank + #run
    else
      for at = upper, rank, -1 do listed[#listed + 1] = read[at - low + 1] end
      rank = upper + 1
    end
  end
  return listed
end

-- How many members precede a key and id, which need not be a member; then the key's bucket.
local function members_below(index, ordering, key, id)
  if ordering == "title" then
    local below = redis.call("ZLEXCOUNT", index, "-", "(" .. key .. "\0" .. id)
    return below, bucket_of_title(index, key)
  end
  local before, equal = bucket_of_score(index, key)
  local low, high = before, before + equal
  while low < high do
    local middle = math.floor((low + high) / 2)
    if redis.call("ZRANGE", index, middle, middle)[1] < id then
      low = middle + 1
    else
      high = middle
    end
  end
  return low, before, equal
end

-- Returns {'page', position, count, page number, last page, JSON...}.
-- `ordering` is created_at, year or title, or 'key' for an index of sort keys
-- (queries/orderings.py).
-- `seek` is a page number (0 is the last page), or the seek key that the page follows: key, NUL, id
-- or, in an index of sort keys, the sort key. After a seek key, the last page is 1 if more follow,
-- else 0.
local function page(rows, position, index, ordering, descending, seek, size)
  local count = redis.call("ZCARD", index)
  local last = math.max(1, math.ceil(count / size))
  local number = tonumber(seek) or 0
  local rank
  local key, id = string.match(seek, "^(.*)%z(.*)$")
  if ordering == "key" and #seek > row.ID_LENGTH then
    rank = redis.call("ZLEXCOUNT", index, "[" .. seek, "+")
    last = rank + size < count and 1 or 0
  elseif key then
    local below, before, equal = members_below(index, ordering, key, id)
    rank = descending and count - below or before + before + equal - below
    last = rank + size < count and 1 or 0
  else
    if number == 0 then number = last end
    rank = (number - 1) * size
  end
  local reply = { "page", tonumber(position), count, number, last }
  if rank >= count then return reply end
  local ids
  if descending then
    ids = redis.call("ZREVRANGE", index, rank, rank + size - 1)
  else
    ids = upwards(index, ordering, rank, math.min(rank + size, count), count)
  end
  if ordering == "title" or ordering == "key" then
    for i, member in ipairs(ids) do ids[i] = string.sub(member, -row.ID_LENGTH) end
  end
  return row.append_json(reply, rows, ids)
end

return page
