;; Recurses for ever.
(module
  (memory (export "memory") 1)
  (func (export "policy_abi_version") (result i32) (i32.const 1))
  (func (export "policy_buffer") (param i32) (result i32) (i32.const 1024))
  (func $r (param i64) (result i64) (i64.add (call $r (i64.add (local.get 0) (i64.const 1))) (local.get 0)))
  (func (export "policy_eval") (param i32 i32) (result i64)
    (call $r (i64.const 0))
  )
)
