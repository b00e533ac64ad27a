// DynamoDB on a loopback port, in memory. It prints its URL, and ends with its standard input.
import dynalite from 'dynalite'

const server = dynalite({ createTableMs: 0, deleteTableMs: 0, updateTableMs: 0 })
server.listen(0, '127.0.0.1', () => console.log(`serving http://127.0.0.1:${server.address().port}`))
process.stdin.on('end', () => process.exit()).resume()
