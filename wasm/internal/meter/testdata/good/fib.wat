;; Recursion.
(module
  (func $run (export "run") (param $n i32) (result i64)
    (if (i32.lt_u (local.get $n) (i32.const 2)) (then (return (i64.extend_i32_u (local.get $n)))))
    (i64.add (call $run (i32.sub (local.get $n) (i32.const 1))) (call $run (i32.sub (local.get $n) (i32.const 2))))
  )
)
