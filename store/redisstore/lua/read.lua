-- read gives records of one shard.
-- ARGV: notify_ids. Reply: now, then each record, empty when it is not there.
local gone = emptied()
if gone then return gone end
local keys, out = {}, {now}
for i = 2, #ARGV do keys[i - 1] = P .. 'n:' .. ARGV[i] end
for i, raw in ipairs(redis.call('MGET', unpack(keys))) do out[i + 1] = raw or '' end
return out
