;; Its data segment does not fit its memory.
(module
  (memory (export "memory") 1)
  (func (export "policy_abi_version") (result i32) (i32.const 1))
  (func (export "policy_buffer") (param i32) (result i32) (i32.const 1024))
  (data (i32.const 65535) "ab")
  (func (export "policy_eval") (param i32 i32) (result i64) (i64.const 1))
)
