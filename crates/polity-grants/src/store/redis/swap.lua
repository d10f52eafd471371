-- Puts ARGV[3] in the place of ARGV[2] at KEYS[1], if that is still what is there; "" is nothing. KEYS[2] orders the ids
-- by when they are due (ARGV[4], "" for never), KEYS[3] holds all ids. ARGV[1]: the id. Answers {"1"} or {"0"}.
local before = redis.call('GET', KEYS[1]) or ''
if before ~= ARGV[2] then return {'0'} end
if ARGV[3] == '' then
    redis.call('DEL', KEYS[1])
    redis.call('ZREM', KEYS[3], ARGV[1])
else
    redis.call('SET', KEYS[1], ARGV[3])
    redis.call('ZADD', KEYS[3], 0, ARGV[1])
end
if ARGV[4] == '' then
    redis.call('ZREM', KEYS[2], ARGV[1])
else
    redis.call('ZADD', KEYS[2], ARGV[4], ARGV[1])
end
return {'1'}
