-- forgot tells what the log of settled attempts still holds.
-- Reply: now, how many entries there are, and the first of them.
local gone = emptied()
if gone then return gone end
local first = redis.call('XRANGE', P .. 'log', '-', '+', 'COUNT', 1)
return {now, redis.call('XLEN', P .. 'log'), first[1] and first[1][1] or '0-0'}
