-- list finds notifications by the partitions of their lanes, newest first. It looks at whole lanes, and at no
-- more of them than it can in a short time: the next call goes on behind the last one.
-- ARGV:  2 mch_id of the only lane to look at, empty = all
--        3 place to go on behind, see lanes_after                 4 digits of the states that match
--        5, 6 verdict and reason as they stand in the name of a partition, empty = any
--        7 held: empty, true, false or a reason                   8 microsecond not to go below
--        9 microsecond not to go above                           10 notify_id that they must be below
--       11 how many at most
-- Reply: now, where to go on (empty = that was all), then notify_ids. Those held for their own address stand
-- among those that are not held, and among those that a breaker holds.
local gone = emptied()
if gone then return gone end
local only, place, held = ARGV[2], ARGV[3], ARGV[7]
local floor, top, below, most = tonumber(ARGV[8]), ARGV[9], ARGV[10], tonumber(ARGV[11])
local SOME = 128  -- lanes: one to three milliseconds
local FIRST = 8   -- entries taken of a partition before it is known whether more are needed
local halted, found = stopped(), {}
local rest = string.gsub(ARGV[4], '0', '') -- the states of what is not pending
local named, named_rest = naming(ARGV[4], ARGV[5], ARGV[6]), rest ~= '' and naming(rest, ARGV[5], ARGV[6])

local enough = most -- found, to cut; then it is worth it only for many more

-- cut leaves the newest. What is older than the last of them is not looked at any more.
local function cut()
  enough = 2 * most
  table.sort(found)
  local kept = {}
  for i = #found, math.max(1, #found - most + 1), -1 do kept[#kept + 1] = found[i] end
  found = kept
  if #found == most then floor = math.max(floor, tonumber(string.sub(found[most], 1, 10), 36)) end
end

-- take takes the newest of a sorted set.
local function take(key)
  local from, step, taken = 0, FIRST, 0
  while taken < most do
    local got = redis.call('ZREVRANGEBYSCORE', key, top, int(floor), 'LIMIT', from, step)
    for _, id in ipairs(got) do
      if id < below then
        found[#found + 1] = id
        taken = taken + 1
      end
    end
    if #got < step then return end
    from, step = from + step, math.min(2 * step, most)
  end
end

-- pending says which of a lane's pending ones match: all, own (those held for their own address) or none.
local function pending(L)
  local why = ''
  if halted then
    why = 'sending_paused'
  elseif paused(L) then
    why = 'merchant_paused'
  elseif L.bl then
    why = 'address_blocked'
  elseif L.op then
    why = 'breaker_open'
  end
  if held == 'true' then return why ~= '' and 'all' or 'own' end
  if held == 'false' then return why == '' and 'all' or 'none' end
  if held == '' or held == why then return 'all' end
  return held == 'address_blocked' and (why == '' or why == 'breaker_open') and 'own' or 'none'
end

local function visit(L)
  if L.la > 0 and L.la < floor then return end
  local which = pending(L)
  if which == 'own' then take(P .. 'b:' .. L.mch) end
  local matches = which == 'all' and named or named_rest
  if not matches then return end
  for part in string.gmatch(L.pt, matches) do take(key_of(L, part)) end
  if #found >= enough then cut() end
end

local go_on = ''
if only ~= '' then
  visit(view(only))
else
  local some, more = lanes_after(place, SOME)
  if more then go_on = some[#some] end
  local lanes = {}
  for i, name in ipairs(some) do lanes[i] = view(string.sub(name, 2)) end
  table.sort(lanes, function(a, b) return a.la > b.la end) -- the first ones fill the page, and spare the others
  for _, L in ipairs(lanes) do visit(L) end
end
cut()
local out = {now, go_on}
for i, id in ipairs(found) do out[i + 2] = id end
return out
