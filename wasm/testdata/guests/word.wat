;; Answers what its data says: a JSON array of a result word and a detail document.
(module
  (memory (export "memory") 2)
  (func (export "policy_abi_version") (result i32) (i32.const 1))
  (global $word (mut i64) (i64.const 0))
  (global $at (mut i32) (i32.const 0))
  (global $end (mut i32) (i32.const 0))
  (func (export "policy_buffer") (param i32) (result i32) (i32.const 65536))
  (func (export "policy_init") (param $p i32) (param $n i32) (result i32)
    (local $c i32)
    (memory.copy (i32.const 1024) (local.get $p) (local.get $n))
    (local.set $p (i32.const 1025))
    (block $done
      (loop $digits
        (local.set $c (i32.sub (i32.load8_u (local.get $p)) (i32.const 48)))
        (br_if $done (i32.gt_u (local.get $c) (i32.const 9)))
        (global.set $word (i64.add (i64.mul (global.get $word) (i64.const 10)) (i64.extend_i32_u (local.get $c))))
        (local.set $p (i32.add (local.get $p) (i32.const 1)))
        (br $digits)))
    (global.set $at (i32.add (local.get $p) (i32.const 1)))
    (global.set $end (i32.add (i32.const 1023) (local.get $n)))
    (i32.const 0))
  (func (export "policy_eval") (param i32 i32) (result i64) (global.get $word))
  (func (export "policy_detail") (result i64)
    (i64.or
      (i64.shl (i64.extend_i32_u (global.get $at)) (i64.const 32))
      (i64.extend_i32_u (i32.sub (global.get $end) (global.get $at)))))
)
