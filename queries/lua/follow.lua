-- Reads what changed since a position that the caller knows, and some movies as they are now.
-- KEYS: state, rows, changes.
-- ARGV: repair epoch, position and name of the last event that the caller knows ('' none); ids.
-- Returns {kind, position, repair epoch, name of the last event, changes, JSON of each movie or
-- false}. The kind is 'changes' if the changes lead from the known position to this one: packed
-- records, in order, none if nothing changed. It is 'unknown' if everything must be read again.
-- Returns {'gone', 0} if the generation must not be shown.
local row = require("projections.lua.row")
local state = require("projections.lua.state")
local keys, stream = state.keys(KEYS), KEYS[3]
local known_epoch, known_position, known_name = ARGV[1], ARGV[2], ARGV[3]
local first_id = 4

-- The changes after the known position up to another; nil if some are not kept any more.
local function changes_up_to(position)
  local entries = redis.pcall("XRANGE", stream, "(" .. known_position .. "-0", position .. "-0")
  if entries.err then return nil end
  local changes, reached = {}, known_position
  for i, entry in ipairs(entries) do
    local id, fields = entry[1], entry[2]
    if fields[2] ~= reached then return nil end
    reached, changes[i] = string.match(id, "^%d+"), fields[4]
  end
  return reached == position and changes or nil
end

local function movies()
  local lines, found = {}, {}
  if #ARGV >= first_id then lines = redis.call("HMGET", keys.rows, unpack(ARGV, first_id)) end
  for i, line in ipairs(lines) do found[i] = line and row.json(line) end
  return found
end

local position = state.shown(keys)
if not position then return { "gone", 0 } end
local epoch, name = unpack(redis.call("HMGET", keys.state, "mends", "last"))
epoch, name = epoch or "", name or ""
local changes
if epoch == known_epoch then
  if position == known_position then
    changes = name == known_name and {} or nil
  elseif tonumber(position) > tonumber(known_position) then
    changes = changes_up_to(position)
  end
end
local kind = changes and "changes" or "unknown"
return { kind, tonumber(position), epoch, name, changes or {}, movies() }
