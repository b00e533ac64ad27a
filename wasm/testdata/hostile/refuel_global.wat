;; Invalid as it is: sets global 1 of 1, which would become the fuel if charges were added before validation.
(module
  (memory (export "memory") 1)
  (func (export "policy_abi_version") (result i32) (i32.const 1))
  (func (export "policy_buffer") (param i32) (result i32) (i32.const 1024))
  (global $g (mut i64) (i64.const 0))
  (func (export "policy_eval") (param i32 i32) (result i64)
    (loop $l (global.set 1 (i64.const 1000000)) (br $l))
    (i64.const 1)
  )
)
