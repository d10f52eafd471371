-- KEYS[1]: by when they are due, KEYS[2]: all ids. ARGV: "due", the milliseconds from now, where to begin, how many; or
-- "ids", after which, nothing, how many. Answers with the time and the ids.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local ids
if ARGV[1] == 'due' then
    ids = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now + ARGV[2], 'LIMIT', ARGV[3], ARGV[4])
else
    ids = redis.call('ZRANGEBYLEX', KEYS[2], '(' .. ARGV[2], '+', 'LIMIT', 0, ARGV[4])
end
table.insert(ids, 1, string.format('%.0f', now))
return ids
