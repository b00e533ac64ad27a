;; A loop whose block type has parameters and results.
(module
  (type $pair (func (param i64 i32) (result i64 i32)))
  (type $keep (func (param i64) (result i64)))
  (func $run (export "run") (param $n i32) (result i64)
    i64.const 1
    local.get $n
    loop $l (type $pair)
      local.set $n
      i64.const 3
      i64.mul
      local.get $n
      i32.const 1
      i32.sub
      local.tee $n
      i32.const 0
      i32.gt_s
      local.get $n
      i32.const 0
      i32.add
      local.set $n
      if (type $keep)
      else
      end
      local.get $n
      local.get $n
      i32.const 0
      i32.gt_s
      br_if $l
    end
    i64.extend_i32_s
    i64.add
  )
)
