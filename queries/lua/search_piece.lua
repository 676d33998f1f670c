-- Looks at one piece of a search without a write, for a Redis that refuses writes.
-- KEYS: `Keys.listed`.
-- ARGV: cursor ('' at the start), position whose page the client has ('' none), then those of
-- search.lua; the ordering is 'key'.
-- Returns {'piece', position, next cursor ('done' at the end), sort key...}; {'same', position} if
-- the client has the page; {'gone'} if the generation must not be shown.
local search = require("queries.lua.search")
local state = require("projections.lua.state")
local keys = state.keys(KEYS)
local cursor, known_position = ARGV[1], ARGV[2]
local wanted = search.arguments(ARGV, 3)

local position = state.shown(keys)
if not position then return { "gone" } end
if position == known_position then return { "same", tonumber(position) } end
local next_cursor, hits = search.next(keys, wanted, cursor == "" and "0" or cursor)
local reply = { "piece", tonumber(position), next_cursor }
for member = 2, #hits, 2 do reply[#reply + 1] = hits[member] end
return reply
