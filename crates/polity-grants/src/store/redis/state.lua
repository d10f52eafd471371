-- KEYS[1]: a pending authorization. ARGV: "put", browser, text, milliseconds; or "take", browser. What is stored is the
-- browser, a line end, and the text. Answers {text}, or {} if there is none for that browser.
if ARGV[1] == 'put' then
    redis.call('SET', KEYS[1], ARGV[2] .. '\n' .. ARGV[3], 'PX', ARGV[4])
    return {'1'}
end
local found = redis.call('GET', KEYS[1])
local head = ARGV[2] .. '\n'
if not found or string.sub(found, 1, #head) ~= head then return {} end
redis.call('DEL', KEYS[1])
return {string.sub(found, #head + 1)}
