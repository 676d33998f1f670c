-- Returns one movie.
-- KEYS: `Keys.listed`.
-- ARGV: id.
-- Returns {'movie', position, JSON}, no JSON if the movie does not exist; {'gone'} if the
-- generation must not be shown.
local row = require("projections.lua.row")
local state = require("projections.lua.state")
local keys = state.keys(KEYS)
local id = ARGV[1]

local position = state.shown(keys)
if not position then return { "gone" } end
local line = redis.call("HGET", keys.rows, id)
return { "movie", tonumber(position), line and row.json(line) }
