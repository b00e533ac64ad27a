;; Rule code: how many decisions this instance made before, in a global and in memory; they must agree.
(module
  (memory (export "memory") 1)
  (func (export "policy_abi_version") (result i32) (i32.const 1))
  (func (export "policy_buffer") (param i32) (result i32) (i32.const 1024))
  (global $n (mut i32) (i32.const 0))
  (func (export "policy_eval") (param i32 i32) (result i64)
    (local $before i32)
    (local.set $before (global.get $n))
    (if (i32.ne (i32.load (i32.const 16)) (local.get $before)) (then unreachable))
    (global.set $n (i32.add (local.get $before) (i32.const 1)))
    (i32.store (i32.const 16) (global.get $n))
    (i64.or (i64.const 1) (i64.shl (i64.extend_i32_u (local.get $before)) (i64.const 8))))
)
