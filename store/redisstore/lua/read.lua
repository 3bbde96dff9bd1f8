-- read gives records of one shard.
-- ARGV: notify_ids. Reply: now, then each record, empty when it is not there.
local gone = emptied()
if gone then return gone end
local out = {now}
for i = 2, #ARGV do out[i] = redis.call('GET', P .. 'n:' .. ARGV[i]) or '' end
return out
