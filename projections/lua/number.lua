-- number(text): the value of a canonical non-negative integer of at most 15 digits, as
-- `number_field` in Python parses it. -1 for any other text, a missing value or an error reply.
local function number(text)
  if text == "0" then return 0 end
  if type(text) == "string" and #text < 16 and string.find(text, "^[1-9]%d*$") then
    return tonumber(text)
  end
  return -1
end

return number
