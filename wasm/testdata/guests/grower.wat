;; Like counter, and grows its memory by a page in each decision.
(module
  (memory (export "memory") 1)
  (func (export "policy_abi_version") (result i32) (i32.const 1))
  (func (export "policy_buffer") (param i32) (result i32) (i32.const 1024))
  (global $n (mut i32) (i32.const 0))
  (func (export "policy_eval") (param i32 i32) (result i64)
    (local $before i32)
    (drop (memory.grow (i32.const 1)))
    (local.set $before (global.get $n))
    (global.set $n (i32.add (local.get $before) (i32.const 1)))
    (i64.or (i64.const 1) (i64.shl (i64.extend_i32_u (local.get $before)) (i64.const 8))))
)
