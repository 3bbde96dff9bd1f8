-- audit appends entries to the audit log, if they follow its last one.
-- ARGV: seq and sum of the entry that they follow (0 and empty = none), how many fields an entry has; then for
-- each its seq and its fields, the last of which is its sum.
-- Reply: now and 1; or now, 0, and the last entry as XREVRANGE has it, if there is one.
local gone = emptied()
if gone then return gone end
local log, width = P .. 'audit', 2 * tonumber(ARGV[4])
local last = redis.call('XREVRANGE', log, '+', '-', 'COUNT', 1)[1]
local seq, sum = '0', ''
if last then seq, sum = string.match(last[1], '^%d+'), last[2][#last[2]] end
if seq ~= ARGV[2] or sum ~= ARGV[3] then return {now, 0, last} end
for i = 5, #ARGV, 1 + width do
  redis.call('XADD', log, ARGV[i] .. '-0', unpack(ARGV, i + 1, i + width))
end
return {now, 1}
