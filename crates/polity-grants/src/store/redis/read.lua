-- What is at KEYS[1], with the time in milliseconds: {time, "" or the text with a mark before it}.
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
local text = redis.call('GET', KEYS[1])
if text then return {now, '=' .. text} end
return {now, ''}
