;; Its detail is not JSON.
(module
  (memory (export "memory") 1)
  (func (export "policy_abi_version") (result i32) (i32.const 1))
  (func (export "policy_buffer") (param i32) (result i32) (i32.const 1024))
  (data (i32.const 16) "reason: none")
  (func (export "policy_eval") (param i32 i32) (result i64)
    (i64.const 0x1000001)
  )
  (func (export "policy_detail") (result i64) (i64.const 0x100000000c))
)
