;; Allows, with the sign bit set.
(module
  (memory (export "memory") 1)
  (func (export "policy_abi_version") (result i32) (i32.const 1))
  (func (export "policy_buffer") (param i32) (result i32) (i32.const 1024))
  (func (export "policy_eval") (param i32 i32) (result i64)
    (i64.const 0x8000000000000001)
  )
)
