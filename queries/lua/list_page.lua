-- Returns a page of all movies, from an index.
-- KEYS: `Keys.listed`, the index.
-- ARGV: ordering, 1 if descending, seek (see pages.lua), page size, position whose page the client
-- has ('' none).
-- Returns {'page', ...} as pages.lua does; {'same', position} if the client has the page;
-- {'gone'} if the generation must not be shown.
local page = require("queries.lua.pages")
local state = require("projections.lua.state")
local keys, index = state.keys(KEYS), KEYS[6]
local ordering, descending, seek, size, known_position =
  ARGV[1], ARGV[2] == "1", ARGV[3], tonumber(ARGV[4]), ARGV[5]

local position = state.shown(keys)
if not position then return { "gone" } end
if position == known_position then return { "same", tonumber(position) } end
return page(keys.rows, position, index, ordering, descending, seek, size)
