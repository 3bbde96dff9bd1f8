-- What scripts share that go through all lanes of a shard, a few at a time.
local LANES = 256 -- looked up at once

-- lanes_after names the lanes behind a place, LANES at most or as many as are asked for, and says whether there
-- may be more. A place is 'n' and the mch_id of a live merchant or 'g' and that of a deleted one; empty is in
-- front of all.
local function lanes_after(place, asked)
  local most = asked or LANES
  local kind, mch, some = string.sub(place, 1, 1), string.sub(place, 2), {}
  local function add(letter, key)
    local from = kind == letter and '(' .. mch or '-'
    local got = redis.call('ZRANGEBYLEX', P .. key, from, '+', 'LIMIT', 0, most - #some)
    for _, name in ipairs(got) do some[#some + 1] = letter .. name end
  end
  if kind ~= 'g' then add('n', 'names') end
  if #some < most then add('g', 'gone') end
  return some, #some == most
end

local WORK = 1000 -- commands and entries, about a millisecond, after which no lane is begun

-- each_lane visits the lanes behind a place, by mch_id. It answers the place behind which to go on, empty when
-- that was all. done tells how much work the visits were so far.
local function each_lane(place, visit, done)
  local some, more = lanes_after(place)
  for i, name in ipairs(some) do
    visit(string.sub(name, 2))
    if i < #some and done() >= WORK or i == #some and more then return name end
  end
  return ''
end

-- view reads of a lane what those who only look at it need: half of what lane does, in half the time.
local function view(mch)
  local v = redis.call('HMGET', P .. 'l:' .. mch, 'pt', 'la', 'wt', 'pz', 'un', 'bl', 'dl', 'fa', 'br')
  return {
    mch = mch, pt = v[1] or '', la = tonumber(v[2] or 0), wt = tonumber(v[3] or 0), pz = v[4] == '1',
    un = tonumber(v[5] or 0), bl = v[6] == '1', dl = v[7] == '1', fa = v[8],
    op = string.sub(v[9] or '', 1, 1) == '1',
  }
end

-- naming makes a pattern of the names of partitions: the digits of the states that match, verdict and reason,
-- empty = any.
local function naming(digits, verdict, reason)
  return '([' .. digits .. ']' .. (verdict == '' and '%w' or verdict) .. (reason == '' and '%w' or reason) .. '),'
end

-- parts goes through the partitions of a lane's list.
local function parts(L) return string.gmatch(L.pt, '(%w%w%w),') end

local function key_of(L, part) return P .. 't:' .. L.mch .. ':' .. part end
