;; Invalid as it is: calls the function that charging would append.
(module
  (memory (export "memory") 1)
  (func (export "policy_abi_version") (result i32) (i32.const 1))
  (func (export "policy_buffer") (param i32) (result i32) (i32.const 1024))
  (func (export "policy_eval") (param i32 i32) (result i64)
    (memory.fill (i32.const 0) (i32.const 0) (i32.const 8))
    (drop (call 3 (i32.const 0)))
    (i64.const 1)
  )
)
